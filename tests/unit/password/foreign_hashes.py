"""Hashes of one password, each made by the library it is named after.

argon2-cffi 25.1.0, bcrypt 4.0.1, passlib 1.7.4, Django 5.2.19 and Werkzeug 3.1.9, with costs lowered to be quick.
"""

PASSWORD = "correct horse Batterie ☕"

HASHES = {
    "argon2-cffi ID": (
        "$argon2id$v=19$m=256,t=1,p=1$tN8qaVU8WEZlenjWIH0tIw$8tlRaebjC+H6kLeyW5kMPIl8De581PgzTXtrYmTSBZU"
    ),
    "argon2-cffi I": "$argon2i$v=19$m=256,t=1,p=1$1TEHuqPAfTMd/9ny1vkAQg$OOAgZvzQpQ9ZtGtEswljCw+AEsTTrzhMSbAUiYDOJYU",
    "argon2-cffi D": "$argon2d$v=19$m=256,t=1,p=1$cLPjiZjlJxeFlRIOhTO1sA$jYCg7B2atBZYRBRbvTGI4VWkJ1k6jytvMdVdnf18UVc",
    "argon2-cffi version 1.0": "$argon2i$v=16$m=256,t=2,p=2$ZWlnaHQtdG8tc2l4dGVlbg$FzsRzvTYLLt/eeqjGBnLEgpvM2zhfRB5",
    "passlib argon2": (
        "$argon2id$v=19$m=256,t=1,p=4$k9L6v9caozQmRKi1ttZaCw$IyrUHjtT9DcviVd7XKA7EN9ORPdodeEYiSpOyXP3WV4"
    ),
    "bcrypt 2b": "$2b$04$MiHOZUwXXoD8QCbiCOcNku/9cvfXxTXsxGAhqWK.7QPpXiHkquwze",
    "bcrypt 2a": "$2a$04$AZUjJGyVSrxoF9QdAOoCIeLrboIQzQZQe/8P8NTrG8nmOUVuhfKiu",
    "passlib bcrypt 2y": "$2y$04$w3YyuXPIXZoPXaZZgnMdTeGAg9mYBWgmSOZFPQUB9DOc5DqCYC1ae",
    "django pbkdf2_sha256": "pbkdf2_sha256$1000$Xk2vQ9sLr0TzPq$rfhtVinpmzio0uWNR4Xumz2cKmbrW6r1eSLcLGCD30g=",
    "django pbkdf2_sha1": "pbkdf2_sha1$1000$Xk2vQ9sLr0TzPq$I+A/BjZYaF0yGiOkEMhnvKTYOFI=",
    "passlib pbkdf2-sha256": "$pbkdf2-sha256$1000$USrFOIdw7j0HwLjX.p/zPg$KZybRV5K3HkcfEEP/a4seH094Qo6QH.d/NuqVVuk/zY",
    "passlib pbkdf2-sha512": (
        "$pbkdf2-sha512$1000$HiOkdE6p1TqnFML4H6O0tg$KCdBMlzSidDxVgOTy2f0Po9m74oMWAwisavL9O5mDOvprl9"
        "ABxDzYZk6uQUWVqZCdXNTd4MnpfVDwWg2wUguNw"
    ),
    "passlib pbkdf2 (sha1)": "$pbkdf2$1000$GQOglBIiRIjxXuu9d.49pw$HuqMds2ZQicK9biH3fQPLqHZcmI",
    "werkzeug pbkdf2": (
        "pbkdf2:sha256:1000$Vemh9BYqdH2ASQJ7$c909c42b728c57b6cdec09887879ca46fd8cf1cacd020b7bfe1f083eeccdd8f5"
    ),
    "werkzeug pbkdf2 sha512": (
        "pbkdf2:sha512:1000$AoQQiZxESlNAk3tX$b313b4bd422a6d9f9f06d93bc917bbe87d9dfd27af3c02ce933514"
        "af249bbb73b4a8b7588dd141a80bdafec05da512dffbfbf3e21c04e66a5c7382e474e65d90"
    ),
    "passlib scrypt": "$scrypt$ln=8,r=8,p=1$bQ1hbC1FyFlL6R1DaG0NoQ$OJAbdbIHlCET+DOm4CakrneX/0aS49y+w25I3+p4P8I",
    "werkzeug scrypt": (
        "scrypt:1024:8:1$SJ7cqZ08p5waQKX8$d89a2956e00f474884badb44a6776cd200b2b095adaf1d0b89326c287"
        "b1020e434d22777c9caa0b8445f0ffb693449e59607acf34ab9fc8c03c3f397e2652db1"
    ),
    "django scrypt": (
        "scrypt$1024$Xk2vQ9sLr0TzPq$8$5$zhOGhprmTGBIzu3LDQPAu4dwxplcv/+vTeVYmyVGL/+FuPH+tenaWvXR4YX"
        "6cLMx9uoKpUmgXa/V9TPxteqphw=="
    ),
}

BEHIND_72_BYTES = "$2b$04$Afn8ga8Rp7BvdK1G96nG5eMTv/QsDTN18S/SfM1j2ZsfVTFPM/ypa"
"""By bcrypt 4.0.1, of 72 times "n" and then "behind", which that version cut off by itself."""

COMPATIBILITY = "ﬁancée Ⅷ de long"
"""Its NFKC form is another text."""

COMPATIBILITY_AS_TYPED = "$2b$04$ebErvbl0Sg.felHECMMezuCzhdAWROL9ypUCXf0U8mGkSaGB0oiAK"
COMPATIBILITY_IN_NFKC = "$2b$04$T0oZ1anUel6inBNn0mlx2eL7RcS80l2FEcImuH1.UUw4uk3DR4nvy"
