a = bytearray(1 << 30)
print(len(a))
