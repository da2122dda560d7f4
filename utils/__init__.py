"""Programs that people run beside training and generation; nothing imports them."""
