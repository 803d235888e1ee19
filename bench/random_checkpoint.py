"""`./pants run bench:random_checkpoint`: a checkpoint of random weights, to measure with."""

from darkroom_bench.random_checkpoint import main

if __name__ == "__main__":
    main()
