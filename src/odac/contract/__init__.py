"""An app's contract, from its routes: as AsyncAPI, as a page, and as typed clients. Imported when it is asked for."""
