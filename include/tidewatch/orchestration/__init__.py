"""Floor 4: the only room that may import Airflow. What Dags share: connections, retries, assets, tasks."""
