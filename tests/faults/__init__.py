"""Something dies, freezes or lies while clients go on asking: what they see, and how soon it is over."""
