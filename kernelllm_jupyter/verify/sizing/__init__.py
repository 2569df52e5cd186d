"""At which sizes a problem is checked: which integers are sizes, and other values for them."""
