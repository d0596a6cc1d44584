"""`python -m zsdeconv` is the command line."""

from zsdeconv.cli import main

raise SystemExit(main())
