"""Reports of a run, for people.

- `report`, on `scores`: an overview picture and a page.
- `summary`: the plan and the files, as text.
"""
