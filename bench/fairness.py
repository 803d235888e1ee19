"""`./pants run bench:fairness`: how long one tenant's crowd keeps another's task waiting."""

from darkroom_bench.fairness import main

if __name__ == "__main__":
    main()
