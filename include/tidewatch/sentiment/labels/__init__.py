"""Labels: what people, files and corpora say of posts, how far they agree, what a model learns from them."""
