"""Reports of a run, for people.

- `report`, on `scores`: an overview picture and a page.
"""
