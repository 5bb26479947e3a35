"""Evidence for people: tables and measurements become one report; the report becomes JSON, HTML and PDF."""
