test -z "$CI_SECRET"
