n = int(input())
a = list(map(int, input().split()))
print("max", max(a), "sum", sum(a))
