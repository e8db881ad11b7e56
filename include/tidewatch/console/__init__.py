"""The web pages for those who must see and sign: FastAPI, server-rendered, no Airflow."""
