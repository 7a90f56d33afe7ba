n = int(input())
a = list(map(int, input().split()))
best = 0
for x in a:
    best = max(best, x)
print(best, sum(a))
