"""What an operator needs beside the pipeline: agencies checked, ages and backlogs, what is broken. Nothing here changes state."""
