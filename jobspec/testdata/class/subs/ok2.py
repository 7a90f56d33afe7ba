import sys
a = list(map(int, sys.stdin.read().split()))[1:]
print(max(a))
print(sum(a))
