"""What the DAG files and the plugin share. Airflow puts the plugins folder on `sys.path` in every one of its processes.

It lives here and not in `dags/`, because deadline callbacks and listeners run in processes that never see the DAG folder.
"""
