"""The parts of the sample district: names, families, schools, rows and files; not deployed.

`sample_district.py` beside this folder is the way in. People are never all in memory: families,
numbers and grades are made again from the seed each time that a file is written.
"""
