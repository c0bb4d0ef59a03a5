#!/usr/bin/env bash
# vLLM without a GPU: the shipped policy and scorer behind two servers, a search over them, and the same policy with vLLM in process.
#
#     scripts/vllm                           # once: .venv-vllm, 2 GB
#     examples/recipes/cpu_only.sh           # with .venv-vllm, or the interpreter in THOUGHTGRAPH_VLLM_PYTHON
#
# The searches are made by the `thoughtgraph` that THOUGHTGRAPH_COMMAND names, else by the one in PATH, else by the one beside that interpreter; the last
# search needs one of an environment with vLLM.
#
# The flags are those that work on few cores: the worker inside the engine's process (in processes of their own they starve each other), one thread,
# whole prompts in a step (a split prompt with a seed kills the CPU engine of 0.32.0).
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${THOUGHTGRAPH_VLLM_PYTHON:-.venv-vllm/bin/python}"
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind \
  OMP_NUM_THREADS=1 VLLM_ENABLE_V1_MULTIPROCESSING=0
thoughtgraph="${THOUGHTGRAPH_COMMAND:-$(command -v thoughtgraph || echo "$(dirname "$python")/thoughtgraph")}"
logs="$(mktemp -d)"
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT

serve() {  # NAME PORT FOLDER [FLAG…]; `vllm serve` itself does not find the CPU build's name
  "$python" -m vllm.entrypoints.openai.api_server --model "$3" --served-model-name "$1" --host 127.0.0.1 --port "$2" \
    --dtype float32 --enforce-eager --no-enable-chunked-prefill --max-num-batched-tokens 8192 --max-num-seqs 128 \
    --distributed-executor-backend uni "${@:4}" > "$logs/$1.log" 2>&1 &
  until curl -sf "127.0.0.1:$2/health"; do
    kill -0 $! 2>/dev/null || { tail -n 40 "$logs/$1.log" >&2; exit 1; }
    sleep 1
  done
}
serve policy "${POLICY_PORT:-8000}" agents/builtin/numbers/policy --generation-config vllm
serve prm "${SCORER_PORT:-8001}" agents/builtin/numbers/scorer --runner pooling \
  --pooler-config '{"task":"token_classify","tok_pooling_type":"STEP","step_tag_id":4}'

search=("$thoughtgraph" run game24 --split val --limit 8 --scheme beam --budget tokens=2000 --mode rolling
  --scorer "pooling:prm?base_url=http://127.0.0.1:${SCORER_PORT:-8001}&tokenizer=agents/builtin/numbers/scorer" --quiet --db "$logs/runs.db")
"${search[@]}" --model "openai:policy?base_url=http://127.0.0.1:${POLICY_PORT:-8000}/v1&completions=true"
"${search[@]}" --model vllm:agents/builtin/numbers/policy
