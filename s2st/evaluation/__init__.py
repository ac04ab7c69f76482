"""How well speech is translated: scores of what a recogniser hears, and the report that shows them."""
