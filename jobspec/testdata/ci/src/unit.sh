echo changed >src/unit.sh && test $((1 + 1)) = 2
