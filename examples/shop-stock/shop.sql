-- The views of a shop, the same at each. A view is its site's own: run this at every one.

-- What there is: pieces, price, labels. One row an article.
SELECT gundb.create_view('stock', 'stock_moves', key => '@key as article', columns => '{
    "on_hand": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}},
    "price":   {"fold": "lww", "value": {"Priced": "price"}, "type": "numeric"},
    "labels":  {"fold": "set", "add": {"Labelled": "label"}, "remove": {"Unlabelled": "label"}}}');
