"""The gateway's paths as an OpenAPI 3.1 document, and as a page.

What is there comes from the routes, what a body may say from the wire models, who may answer 429 from the limits.
Beside them stands what no code says: one table for each dialect, of what a path does and what it answers. A route that
no table describes keeps the gateway from starting, which a test finds before.
"""
