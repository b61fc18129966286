module github.com/seonchak/seonchak/migrations

go 1.26.0
