"""Parts of the gateway by themselves."""
