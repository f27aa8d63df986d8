"""What is made of swept mosaics: islands, masks, catalogues, regions, pictures and records."""
