n = int(input())
total, best = 0, None
for x in input().split():
    x = int(x)
    total += x
    best = x if best is None or x > best else best
print(best, total)
