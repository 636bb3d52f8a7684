"""An app's contract, from its routes: as AsyncAPI, as a page, and as typed clients. Imported only where it is used."""
