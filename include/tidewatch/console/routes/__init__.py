"""The pages, one module a subject: each gives a router for a desk."""
