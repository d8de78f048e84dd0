"""Every request that the five seed documents print, sent to a running platform: `make seeds`."""
