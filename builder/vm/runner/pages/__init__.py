"""Turns an executed notebook into two HTML pages, with code and without, that load nothing and run nothing."""
