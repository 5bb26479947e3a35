"""One file for each version, `v0002_what_it_does.py`; a file that was released is never changed again."""
