"""Where problems come from: files of several kinds, folders of public sets, Hugging Face datasets."""
