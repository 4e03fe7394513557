"""What AWS's Spark images run: `smspark-submit`, on PySpark's own Spark.

options.py   its command line and the EMR-style configuration, as spark-submit takes them
cluster.py   one host by itself, or a standalone cluster of all hosts of the job
submit.py    the program
"""
