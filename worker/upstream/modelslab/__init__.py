"""ModelsLab: its words, paths, field names and limits, and a sandbox that behaves like it. Nothing else knows them."""
