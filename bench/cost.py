"""`./pants run bench:cost`: whether tasks and idle time cost what their nodes cost."""

from darkroom_bench.cost import main

if __name__ == "__main__":
    main()
