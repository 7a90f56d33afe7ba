print(50)
input()
print(input())
