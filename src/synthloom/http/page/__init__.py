"""The page for people: templates, forms, and what a run looks like while it goes on. No build step."""
