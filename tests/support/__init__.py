"""What tests share: fields, tile sets, models, mosaics and processes made for them."""
