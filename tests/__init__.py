"""The tests; see CONTRIBUTING for how to run some of them."""
