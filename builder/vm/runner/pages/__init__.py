"""From an executed notebook to two HTML pages, with code and without, that need nothing from anywhere and run nothing."""
