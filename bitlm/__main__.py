"""`python -m bitlm`."""

import os

# A waiting OpenMP thread that spins starves whoever else needs the core; torch reads this once, on import.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from bitlm.cli import main  # after the line above

if __name__ == "__main__":
    main()
