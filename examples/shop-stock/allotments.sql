-- Allotments, the same at each shop: how many pieces of an article it may sell. Run this at every site, after shop.sql.

-- Who receives pieces may sell them; whom they are allotted to may, and who cedes them no longer.
-- strict: an event that would break the CHECK below is refused, where it is appended.
SELECT gundb.create_view('allotment', 'stock_moves', key => 'shop, @key as article', strict => true,
    types => '{Received, Allotted, Sold, Ceded}', columns => '{
    "may_sell": {"fold": "sum", "value": {"Received": "qty", "Allotted": "qty", "Sold": "-qty", "Ceded": "-qty"}}}');
ALTER TABLE allotment ADD CONSTRAINT sold_out CHECK (may_sell >= 0);

-- The one rule: a shop lowers no row but its own. So these two, which put its own name in, are the only ways to do so.
-- In earnest, make them SECURITY DEFINER with a search_path of their own, and grant the tills no INSERT on stock_moves.
CREATE FUNCTION sell(article text, qty integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO stock_moves (type, key, data)
    VALUES ('Sold', article, jsonb_build_object('shop', gundb.site_name(), 'qty', qty));
$$;

-- Two events, one transaction: it arrives whole, so a piece is nowhere allotted twice.
CREATE FUNCTION cede(article text, shop text, qty integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO stock_moves (type, key, data)
    VALUES ('Ceded', article, jsonb_build_object('shop', gundb.site_name(), 'qty', qty)),
           ('Allotted', article, jsonb_build_object('shop', shop, 'qty', qty));
$$;
