"""Media files in and out: still images (`images`) and videos (`videos`), both through a Sharpener."""
