"""The verifier library as another service uses it; an issuer is faked, keys and HTTP are real."""
