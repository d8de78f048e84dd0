"""The pure rules: which passwords are good enough, how ours are hashed, which hashes from elsewhere can be verified."""
