"""What the neural methods share: how tables become numbers for a net, and what every training needs.

Only `params` and `modes` may be imported without torch. The nets themselves lie here too, one readable file per
method, so that `methods/ctgan.py` and its siblings can be listed where torch is not installed.
"""
