"""How answers of each kind are judged: numbers and formulas, short texts, programs, queries."""
