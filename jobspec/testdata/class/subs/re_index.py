a = []
print(a[0])
